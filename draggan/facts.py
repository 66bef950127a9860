"""What saved files say of where they come from."""

from pathlib import Path

import torch

from draggan.session import Session


def facts(session: Session) -> dict[str, str]:
    """For the metadata of a session's picture or latent."""
    model = {"Model": Path(session.model).name}
    edited = not torch.equal(session.latent, session.start)
    if session.photo is not None:
        how = "edited: a picture changed by dragging points in" if edited else "generated: a picture reconstructed by"
        return model | {"Comment": f"AI-{how} a StyleGAN2 model"}
    drawn = {"Seed": str(session.seed), "Truncation psi": f"{session.truncation_psi:g}"}
    if session.class_index is not None:
        drawn["Class"] = str(session.class_index)
    return model | drawn | {"Comment": "AI-generated: a StyleGAN2 picture" + ", edited by dragging points" * edited}
