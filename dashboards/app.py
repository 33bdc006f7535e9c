"""The dashboard as one process: the pages, the data routes beside them, and headers that keep the browser at home.

Start: `python -m streamlit run dashboards/app.py`, with KUBECONFIG naming the reader's kubeconfig.
"""

from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Route

from dashboards.routes import HomeOnly, data, public, public_schema

app = st.App(
    Path(__file__).with_name("pages.py"),
    routes=[
        Route("/data/{page}/{figure}.{extension}", data),
        Route("/public.json", public),
        Route("/public.schema.json", public_schema),
    ],
    middleware=[Middleware(HomeOnly)],
)
