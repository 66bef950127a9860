"""Where the face of a picture is, framed as the models of faces know them.

Works where scikit-image is installed, whose cascade of local binary patterns (Liao et al. 2007) comes in its package:
nothing is downloaded.
"""

from importlib.util import find_spec

import numpy as np
from PIL import Image

from draggan.geometry import Point
from draggan.inversion.picture import Crop, Picture, face_crop

SEEN = 400  # pixels of the longer side of the copy that is searched: of faces, a sixteenth of it is enough
WINDOW = 24  # pixels of a side of the faces that the cascade was trained on
GROWTH = 1.1  # from one size of faces that are looked for to the next
AGREEING = 8  # windows that must find the same face: fewer find faces where there are none
EYES, MOUTH = ((0.28, 0.365), (0.72, 0.365)), (0.5, 0.79)  # parts of the window, where its training faces have them


def find_face(picture: Picture) -> Crop | None:
    """The crop that frames the largest upright face as those of FFHQ are. None: none is found, or no scikit-image."""
    if find_spec("skimage") is None:
        return None
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    small = Image.fromarray(picture.pixels)
    small.thumbnail((SEEN, SEEN))
    found = Cascade(lbp_frontal_face_cascade_filename()).detect_multi_scale(
        np.asarray(small),
        scale_factor=GROWTH,
        step_ratio=1,
        min_size=(WINDOW, WINDOW),
        max_size=(min(small.size), min(small.size)),
        min_neighbor_number=AGREEING,
    )
    if not found:
        return None
    box = max(found, key=lambda box: box["width"])
    scale = picture.size[1] / small.width

    def place(x: float, y: float) -> Point:
        across, down = box["c"] + x * box["width"], box["r"] + y * box["height"]
        return Point(across * scale - 0.5, down * scale - 0.5)

    left, right, mouth = (place(*at) for at in (*EYES, MOUTH))
    return face_crop((left, right), mouth)
