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
        found.append(mien.to_pandas(load().predict(file)).assign(source=file.name))
    except mien.DataError as error:
        st.error(f"{file.name}: {error}")
if found:
    st.dataframe(pd.concat(found))
