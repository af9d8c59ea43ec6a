"""Drawings of predictions: labels, bars, numbers, colours; annotated copies, each at a place of its own."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mien.base.images import open_image
from mien.base.labels import class_colours
from mien.base.preprocess import upright_rgb
from mien.faces.face import Box
from mien.inference.drawing import Annotator, draw_face, draw_predictions
from mien.inference.prediction import Prediction

LEFT, RIGHT = (Prediction("clip", ("sad", "happy"), np.array([0.2, 0.8]), Box(x, 60, 80, 80)) for x in (10, 130))


@pytest.fixture
def words(monkeypatch):
    """All that is written into images while a test runs."""
    written, write = [], ImageDraw.ImageDraw.text

    def text(self, place, said, *more, **options):
        written.append(said)
        write(self, place, said, *more, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return written


def drawn(predictions, numbers=None, side=240):
    return np.asarray(draw_predictions(plain(side, side), predictions, numbers))


def plain(width, height, colour=(90, 120, 150)):
    return np.full((height, width, 3), colour, np.uint8)


def test_beside_a_face_stands_what_is_read_in_it_and_how_likely_it_is(words):
    """By hand: 0.875 rounds to the even 88 %."""
    both = [np.array(scores) for scores in ((0.125, 0.875), (0.75, 0.25))]
    happy, sad = (Prediction("x", ("sad", "happy"), scores, Box(20, 60, 160, 100)) for scores in both)
    drawn([happy])
    drawn([sad], [7])
    assert words == ["happy 88%", "7  sad 75%"]
    assert np.array_equal(drawn([LEFT, RIGHT]), drawn([LEFT, RIGHT], [1, 2]))
    assert not np.array_equal(drawn([LEFT, RIGHT]), drawn([LEFT, RIGHT], [2, 1]))


@pytest.mark.parametrize(
    ("box", "rows"),
    [(Box(60, 60, 120, 100), (45, 60)), (Box(60, 5, 120, 100), (105, 120)), (Box(0, 0, 240, 240), (0, 15)),
     (Box(200, 60, 40, 40), (46, 60))],
)  # fmt: skip
def test_a_label_is_above_its_box_or_below_or_over_it_but_inside_the_image(box, rows):
    """Oracle: rows with a long line of the label's background, by hand; the label's text has 11 pixels."""
    dark = (drawn([Prediction("x", ("sad", "happy"), np.array([0.2, 0.8]), box)]) == (20, 20, 24)).all(axis=2)
    assert dark[slice(*rows)].sum() > 300
    assert (dark[: max(rows[0] - 1, 0)].sum() if rows[0] < box.top else 0) == 0


def test_each_classes_bar_is_as_long_as_its_share(words):
    """Oracle: pixels of the bars' colours, counted row by row; a bar of a whole share is 160 px long."""
    shown = np.asarray(draw_face(np.full((48, 48), 90, dtype=np.uint8), {"sad": 0.125, "happy": 0.875}, "happy"))
    assert words == ["sad", "12%", "happy", "88%"]
    tops = []
    for colour, share in (((150, 150, 155), 0.125), ((20, 90, 160), 0.875)):
        lengths = (shown == colour).all(axis=2).sum(axis=1)
        assert lengths[lengths > 0] == pytest.approx(160 * share, abs=1)
        tops.append(int(lengths.argmax()))
    assert tops[0] < tops[1], "in the order of the classes"


def of(scores, classes=("sad", "happy", "not-a-face"), perceived=False):
    return Prediction("x", classes, np.array(scores), Box(60, 60, 120, 100), perceived=perceived)


def pixels_of(image, colour):
    return int((image == (colour if isinstance(colour, tuple) else tuple(bytes.fromhex(colour[1:])))).all(axis=2).sum())


def test_the_colour_says_the_expression_and_dashes_the_doubt():
    """Oracle: pixels in the colour that the pages give to the class."""
    colours, sure = class_colours(("sad", "happy", "not-a-face")), drawn([of([0.1, 0.9, 0.0])])
    assert pixels_of(sure, colours["happy"]) > 500
    assert pixels_of(sure, colours["sad"]) == 0
    assert 100 < pixels_of(drawn([of([0.45, 0.35, 0.2])]), colours["sad"]) < 0.8 * pixels_of(sure, colours["happy"])
    unsure, no_face = drawn([of([0.45, 0.35, 0.2], perceived=True)]), drawn([of([0.1, 0.1, 0.8], perceived=True)])
    assert not any(pixels_of(each, colour) for each in (unsure, no_face) for colour in colours.values())
    assert pixels_of(no_face, (150, 150, 155)) > 500


def test_lines_text_and_colours_can_be_chosen(words):
    """Oracle: pixels. Of one line of 3 px in gold nothing else is drawn."""
    happy = Prediction("x", ("sad", "happy"), np.array([0.2, 0.8]), Box(60, 60, 120, 100))
    pixels = np.asarray(draw_predictions(plain(300, 300, 9), [happy], line_px=3, text_px=0, colours={"happy": "gold"}))
    gold = (pixels == (255, 215, 0)).all(axis=2)
    assert (words, gold.sum(), gold[60:63, 60:180].all()) == ([], 120 * 100 - 114 * 94, True)
    assert (pixels[~gold] == 9).all()
    draw_predictions(plain(300, 300), [happy], text_px=30)
    assert words == ["happy 80%"]
    # Oracle: the middle halves of 400 small faces in a large image, pixel by pixel.
    boxes = [Box(70 * column + 18, 70 * row + 18, 34, 42) for row in range(20) for column in range(20)]
    faces = [Prediction("x", ("sad", "happy"), np.array([0.25, 0.75]), each) for each in boxes]
    pixels = np.asarray(draw_predictions(plain(1400, 1400), faces))
    for box in boxes:
        assert (pixels[box.top + 10 : box.top + 31, box.left + 8 : box.left + 26] == (90, 120, 150)).all()


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
    [(["x.png", "x.png.jpg"], ["x.png.jpg", "x.png.jpg.jpg"]),
     (["x.png", "x.png.jpg", "x.png.jpg.jpg"], ["x.png.jpg", "x.png.jpg.jpg", "x.png.jpg.jpg.jpg"]),
     (["x", "x.jpg"], ["x.jpg", "x.jpg.jpg"]), (["x.png.jpg", "x.2024.JPG"], ["x.png.jpg", "x.2024.JPG"])],
)  # fmt: skip
def test_images_whose_names_differ_by_jpg_keep_two_places(tmp_path, names, copies, backwards):
    """Oracle: by hand, in either order."""
    for name in names:
        Image.new("RGB", (30, 30)).save(tmp_path / name, "PNG")
    files = Annotator(tmp_path / "out", [tmp_path / name for name in names])
    order = slice(None, None, -1 if backwards else 1)
    written = [files.write(str(tmp_path / name), np.zeros((30, 30, 3), np.uint8), []).name for name in names[order]]
    assert (written[order], sorted(path.name for path in (tmp_path / "out").iterdir())) == (copies, sorted(copies))
