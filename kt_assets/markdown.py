"""Text for the markdown tables that assets show."""


def cell_text(text: str, limit: int = 200) -> str:
    """``text`` as one table cell: no line breaks, no bars, shortened."""
    flat = " ".join(str(text).split()).replace("|", "\\|")
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
