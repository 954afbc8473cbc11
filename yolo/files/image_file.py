"""RGB pixels → the content of an image file."""

import cv2
import numpy as np
from numpy.typing import NDArray

MEASURES = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".png": cv2.IMWRITE_PNG_COMPRESSION}


def encoded_image(image: NDArray[np.uint8], ending: str, measure: int | None = None) -> bytes:
    """Return the content of the file of an image uint8 `[H, W, 3]` RGB, or of a PNG `[H, W, 4]` with its opacity.

    ending: .jpg or .png. measure: the quality of a JPEG, 0 to 100; how hard a PNG is compressed, 0 to 9; None: OpenCV's
    own. Raises ValueError for an image that no file can hold, such as one without pixels.
    """
    options = [] if measure is None else [MEASURES[ending], measure]
    order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    done, content = cv2.imencode(ending, cv2.cvtColor(image, order), options)
    if not done:
        raise ValueError(f"image of {image.shape}: cannot be written as {ending}")
    return content.tobytes()
