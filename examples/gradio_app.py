"""A page with Gradio: a photo in, its faces with their answers out, and the shares of the largest.

pip install gradio    (beside mien)
python gradio_app.py
"""

import gradio as gr
import numpy as np

import mien

model = mien.load("default-int8")


def read(photo: np.ndarray | None) -> tuple[tuple[np.ndarray, list], dict[str, float]]:
    if photo is None:
        raise gr.Error("Choose a photo first.")
    faces = model.predict(photo)
    return (photo, [(face.box.xyxy, face.text) for face in faces if face.box]), faces[0].probabilities if faces else {}


page = gr.Interface(
    read,
    gr.Image(label="photo"),
    [gr.AnnotatedImage(label="faces"), gr.Label(num_top_classes=3, label="the largest face")],
    title="Faces as people would label them",
    flagging_mode="never",  # keeps no photo
)

if __name__ == "__main__":
    page.launch()
