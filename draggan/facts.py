"""What saved files say of where they come from."""

from pathlib import Path

import torch

from draggan.session import Session


def facts(session: Session) -> dict[str, str]:
    """For the metadata of a session's picture or latent."""
    model = {"Model": Path(session.model).name}
    if session.photo is not None:
        return model | {"Comment": "AI-edited: a picture changed by dragging points in a StyleGAN2 model"}
    drawn = {"Seed": str(session.seed), "Truncation psi": f"{session.truncation_psi:g}"}
    if session.class_index is not None:
        drawn["Class"] = str(session.class_index)
    edited = "" if torch.equal(session.latent, session.start) else ", edited by dragging points"
    return model | drawn | {"Comment": f"AI-generated: a StyleGAN2 picture{edited}"}
