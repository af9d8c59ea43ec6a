"""mien inside a FastAPI service of your own: one model, a thread for each photo, errors as status 422.

pip install fastapi uvicorn python-multipart    (beside mien)
uvicorn fastapi_app:app          then: curl -F photo=@photo.jpg http://127.0.0.1:8000/faces
"""

from typing import Any

from fastapi import FastAPI, HTTPException, UploadFile

import mien

app = FastAPI()
model = mien.load("default-int8", threads=1)


# Without `async`: FastAPI runs it in a thread, and several may use one model.
@app.post("/faces")
def faces(photo: UploadFile) -> list[dict[str, Any]]:
    try:
        return [face.to_dict() for face in model.predict(photo.file)]
    except mien.DataError as error:
        raise HTTPException(422, {"code": error.code, "message": str(error)}) from None
