"""Draw a bright box on a dark image and locate it, for tests that boxes follow pixels."""

import numpy as np

DARK, BRIGHT = 20, 250  # in every channel
SEEN = 150  # of 255: above the dark, the gray of a canvas and the mean of both; some half of an edge


def image_of(size, rng, channels=3):
    """Return an image uint8 `[*size, channels]` with one box, and the box as xyxy pixels."""
    height, width = size
    x1, y1 = rng.integers(0, width - 12), rng.integers(0, height - 12)
    x2 = min(width, x1 + rng.integers(8, width // 2))
    y2 = min(height, y1 + rng.integers(8, height // 2))
    image = np.full((*size, channels), DARK, np.uint8)
    image[y1:y2, x1:x2] = BRIGHT
    return image, np.array([x1, y1, x2, y2])


def unit(box, size):
    """xyxy pixels → cxcywh `[1, 4]`, 0..1 of an image of (height, width)."""
    x1, y1, x2, y2 = box
    height, width = size
    return np.array([[(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]])


def pixel_box(box, size):
    """cxcywh, 0..1 of an image of (height, width) → xyxy pixels."""
    height, width = size
    low, high = box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
    return np.concatenate((low, high)) * (width, height, width, height)


def seen(image, least=SEEN, most=255):
    """Return xyxy around the pixels of which every channel is above `least` and at most `most`, or None."""
    levels = image.min(axis=2)
    rows, columns = np.nonzero((levels > least) & (image.max(axis=2) <= most))
    if len(rows) == 0:
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
