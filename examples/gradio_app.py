"""A page with Gradio: a photo in, its faces with their answers out, and the probabilities of the largest.

pip install gradio    (beside mien)
python gradio_app.py
"""

import gradio as gr
import numpy as np

import mien

model = mien.load("default-int8")


def read(file: str | None) -> tuple[tuple[np.ndarray | None, list], dict[str, float]]:
    if file is None:
        raise gr.Error("Choose a photo first.")
    try:
        photo = next(model.stream([file]))
    except mien.DataError as error:
        raise gr.Error(str(error)) from None
    faces = photo.predictions
    if not faces:
        gr.Warning("No face was found in this photo.")
    boxes = [(face.box.xyxy, face.text) for face in faces]
    return (photo.rgb, boxes), faces[0].probabilities if faces else {}


page = gr.Interface(
    read,
    gr.Image(label="photo", type="filepath", image_mode=None),  # the file as it is
    [gr.AnnotatedImage(label="faces"), gr.Label(num_top_classes=3, label="the largest face")],
    title="Faces as people would label them",
    flagging_mode="never",  # keeps no photo
)

if __name__ == "__main__":
    page.launch()
