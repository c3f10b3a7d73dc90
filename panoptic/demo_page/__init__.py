"""The web page of ``python -m panoptic.demo``: what it computes and draws as plain functions, its layout, its server.

Nothing here is imported by other packages but the command, and Gradio by the layout and the server alone.
"""
