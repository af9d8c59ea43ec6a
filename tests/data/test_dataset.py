"""What a person sees of faces at the prompt."""


def test_faces_at_the_prompt_are_a_line_that_counts_them(faces):
    shown = repr(faces)
    assert shown.startswith(f"<Dataset: {len(faces)} faces of 48 x 48, classes angry, disgust, fear, happy, ")
    for name in ("train", "validation", "test"):
        assert f"{name} {(faces.split == name).sum()}" in shown
    assert len(shown) < 200
