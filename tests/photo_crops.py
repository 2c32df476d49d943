#!/usr/bin/env python3
"""Crops of photographs as CIFAR-10's binary batches: images in colour to train and compress, where there are none at hand.

    python3 tests/photo_crops.py OUT PHOTO...

The right fifth of each photo is for tests, the rest for training. Needs Pillow and NumPy. What src/README.md measures is of the twelve
photographs of Debian's mate-backgrounds, /usr/share/backgrounds/mate/nature/*.jpg.
"""
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 32
WIDTH = 800  # photos are made so wide first, that a crop shows more than a blur
TRAIN, TEST = 20_000, 2_000


def crops(photos, count, left, right, rng):
    """[count, 1 + 3·32·32] bytes: a label that says nothing, then planes of red, green and blue."""
    rows = np.zeros((count, 1 + 3 * SIDE * SIDE), np.uint8)
    for row in rows:
        photo = photos[rng.integers(len(photos))]
        height, width, _ = photo.shape
        y = rng.integers(height - SIDE + 1)
        x = rng.integers(int(left * width), int(right * width) - SIDE + 1)
        row[1:] = photo[y : y + SIDE, x : x + SIDE].transpose(2, 0, 1).ravel()
    return rows


def main(out, *paths):
    rng = np.random.default_rng(0)
    photos = []
    for path in paths:
        image = Image.open(path).convert("RGB")
        photos.append(np.asarray(image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.LANCZOS)))
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    crops(photos, TRAIN, 0, 0.8, rng).tofile(folder / "data_batch_1.bin")
    crops(photos, TEST, 0.8, 1, rng).tofile(folder / "test_batch.bin")
    print(f"{TRAIN} training and {TEST} test crops of {len(photos)} photographs in {folder}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
