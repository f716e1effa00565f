"""The paper's figures, drawn from runs with matplotlib: pictures in rows and columns, and distributions."""
