"""Annotated images: JPEGs of the source's size, upright, each at a place of its own."""

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError
from mien.base.images import open_image
from mien.base.preprocess import upright_rgb
from mien.faces.face import Box
from mien.inference.annotate import Annotator
from mien.inference.prediction import Prediction
from support import raises


def annotated(tmp_path, path, boxes):
    rgb = upright_rgb(open_image(path))
    faces = [Prediction("x", ("sad", "happy"), np.array([0.125, 0.875]), box=box) for box in boxes]
    return rgb, Annotator(tmp_path / "out", [path]).write(str(path), rgb, faces)


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L", "I;16", "RGBA", "P", "1"])
@pytest.mark.parametrize(("name", "copy"), [("photo.tif", "photo.tif.jpg"), ("photo.JPG", "photo.JPG")])
def test_a_copy_is_a_jpeg_of_the_sources_size(tmp_path, name, copy, mode):
    path = tmp_path / name
    image = Image.new("I;16", (80, 60), 65535) if mode == "I;16" else Image.new("RGB", (80, 60), "white").convert(mode)
    image.save(path, "TIFF")
    before = path.read_bytes()
    rgb, written = annotated(tmp_path, path, [Box(10, 20, 30, 30)])
    assert written == tmp_path / "out" / copy
    with Image.open(written) as image:
        assert (image.format, image.size) == ("JPEG", (80, 60))
    assert (upright_rgb(open_image(written)) != rgb).any()
    assert path.read_bytes() == before


def test_a_turned_photo_comes_out_upright_with_its_colour_profile(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (80, 50), "blue").save(path, exif=exif, icc_profile=b"a profile")
    _, written = annotated(tmp_path, path, [])
    with Image.open(written) as image:
        assert (image.size, image.getexif().get(0x0112, 1), image.info["icc_profile"]) == ((50, 80), 1, b"a profile")


@pytest.mark.parametrize("background", [0, 90, 128, 200, 255])
@pytest.mark.parametrize("size", [(40, 40), (100, 60), (640, 480), (3000, 2000)])
def test_box_and_words_stand_out_from_any_background(tmp_path, background, size):
    """Along the box's edge and in the words there are pixels far from the background."""
    path = tmp_path / "photo.png"
    Image.new("L", size, background).save(path)
    width, height = size
    box = Box(width // 4, height // 3, width // 2, height // 3)
    _, written = annotated(tmp_path, path, [box])
    far = np.abs(np.asarray(Image.open(written).convert("L")).astype(int) - background) >= 100
    assert far[box.top + box.height // 2, slice(box.left, box.left + max(4, 4 * round(min(size) / 300)))].any()
    words = far.copy()
    words[box.top : box.top + box.height] = False
    assert words.any() or height < 50


def test_images_of_one_name_keep_two_places(tmp_path):
    for name in ("a/x.png", "b/x.png", "b/c/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 30)).save(tmp_path / name)
    out = tmp_path / "out"
    files = Annotator(out, [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"])
    assert files.path_of(tmp_path / "a" / "x.png") == out / "a" / "x.png.jpg"
    assert files.path_of(tmp_path / "b" / "x.png") == out / "b" / "x.png.jpg"
    folder = Annotator(out, [tmp_path / "b"])
    for name in ("x.png", "c/x.png"):
        assert folder.path_of(tmp_path / "b" / name) == out / f"{name}.jpg"
    mixed = Annotator(out, [tmp_path / "b", tmp_path / "a" / "x.png"])
    assert mixed.path_of(tmp_path / "b" / "c" / ".." / "x.png") == out / "b" / "x.png.jpg"


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    ("names", "copies"),
    [
        (["x.png", "x.png.jpg"], ["x.png.jpg", "x.png.jpg.jpg"]),
        (["x.png", "x.png.jpg", "x.png.jpg.jpg"], ["x.png.jpg", "x.png.jpg.jpg", "x.png.jpg.jpg.jpg"]),
        (["x", "x.jpg"], ["x.jpg", "x.jpg.jpg"]),
        (["x.png.jpg", "x.2024.JPG"], ["x.png.jpg", "x.2024.JPG"]),
    ],
)
def test_images_whose_names_differ_by_jpg_keep_two_places(tmp_path, names, copies, backwards):
    """Oracle: by hand, in either order."""
    for name in names:
        Image.new("RGB", (30, 30)).save(tmp_path / name, "PNG")
    files = Annotator(tmp_path / "out", [tmp_path / name for name in names])
    order = slice(None, None, -1 if backwards else 1)
    written = [
        files.write(str(tmp_path / name), np.zeros((30, 30, 3), dtype=np.uint8), []).name for name in names[order]
    ]
    assert written[order] == copies
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(copies)


@pytest.mark.parametrize("folder", ["a", "a/out", "a/c", "."])
def test_a_folder_around_or_inside_what_is_read_is_refused(tmp_path, folder):
    (tmp_path / "a" / "c").mkdir(parents=True)
    file = tmp_path / "a" / "c" / "x.png"
    Image.new("RGB", (30, 30)).save(file)
    with raises(DataError, "annotate-overlap"):
        Annotator(tmp_path / folder, [tmp_path / "a"] if folder != "a/c" else [file])


def test_a_linked_source_is_not_overwritten(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "out").mkdir()
    Image.new("RGB", (30, 30)).save(tmp_path / "out" / "x.jpg")
    (tmp_path / "a" / "x.jpg").symlink_to(tmp_path / "out" / "x.jpg")
    with raises(DataError, "annotate-overwrite"):
        Annotator(tmp_path / "out", [tmp_path / "a"]).write(
            str(tmp_path / "a" / "x.jpg"), np.zeros((30, 30, 3), dtype=np.uint8), []
        )
