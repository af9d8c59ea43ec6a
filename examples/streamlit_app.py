"""A page with Streamlit: photos in, a table of their faces out.

pip install 'mien[pandas]' streamlit
streamlit run streamlit_app.py
"""

import pandas as pd
import streamlit as st

import mien


@st.cache_resource  # one model for all visitors
def load() -> mien.Predictor:
    return mien.load("default-int8")


st.title("Faces as people would label them")
files = st.file_uploader("Photos", accept_multiple_files=True)
found = []
for file in files:
    try:
        faces = load().predict(file)
    except mien.DataError as error:
        st.error(f"{file.name}: {error}")
        continue
    if faces:
        found.append(mien.to_pandas(faces).assign(source=file.name))
    else:
        st.info(f"{file.name}: no face was found.")
if found:
    st.dataframe(pd.concat(found, ignore_index=True))
