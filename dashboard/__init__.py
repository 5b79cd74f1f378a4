"""Rows to pixels: the Streamlit app."""
