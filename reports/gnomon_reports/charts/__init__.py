"""The five plotly charts. Each is a still picture first, drawn from the same points at the same size."""
