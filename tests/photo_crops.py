#!/usr/bin/env python3
"""Crops of photographs as CIFAR-10's binary batches: images in colour to train and compress, where there are none at hand.

    python3 tests/photo_crops.py OUT PHOTO...

The right fifth of each photo is for tests, cut into tiles; training has crops from anywhere in the rest. Needs Pillow and NumPy. What src/README.md measures is of the twelve
photographs of Debian's mate-backgrounds, /usr/share/backgrounds/mate/nature/*.jpg.
"""
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 32
WIDTH = 800  # photos are made so wide first, that a crop shows more than a blur
LEFT = 0.8
TRAIN = 20_000


def rows_of(crops):
    """Rows of 1 + 3·32·32 bytes: a label that says nothing, then planes of red, green and blue."""
    planes = np.stack(crops).transpose(0, 3, 1, 2).reshape(len(crops), -1)
    return np.concatenate([np.zeros((len(crops), 1), np.uint8), planes], axis=1)


def drawn(photos, count, rng):
    """Crops from anywhere in the left four fifths: these overlap."""
    for _ in range(count):
        photo = photos[rng.integers(len(photos))]
        height, width, _ = photo.shape
        y, x = rng.integers(height - SIDE + 1), rng.integers(int(LEFT * width) - SIDE + 1)
        yield photo[y : y + SIDE, x : x + SIDE]


def tiled(photos):
    """The rest, side by side: no pixel is in two, or a coder of one file would find it again."""
    for photo in photos:
        height, width, _ = photo.shape
        for y in range(0, height - SIDE + 1, SIDE):
            for x in range(int(LEFT * width), width - SIDE + 1, SIDE):
                yield photo[y : y + SIDE, x : x + SIDE]


def main(out, *paths):
    rng = np.random.default_rng(0)
    photos = []
    for path in paths:
        image = Image.open(path).convert("RGB")
        photos.append(np.asarray(image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.LANCZOS)))
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    tests = list(tiled(photos))
    rows_of(list(drawn(photos, TRAIN, rng))).tofile(folder / "data_batch_1.bin")
    rows_of(tests).tofile(folder / "test_batch.bin")
    print(f"{TRAIN} training and {len(tests)} test crops of {len(photos)} photographs in {folder}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
