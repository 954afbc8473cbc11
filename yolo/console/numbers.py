"""Format numbers for tables, lines and pages: a speed, and the text for an unknown number."""

NOT_AVAILABLE = "n/a"  # a number that cannot be computed, in tables and pages


def speed_text(per_second: float, decimals: int = 1) -> str:
    """Return `12.3`, of slow work `0.043`, and `--` for 0, an unknown speed."""
    return f"{per_second:.{decimals}f}" if per_second >= 1 else f"{per_second:.2g}" if per_second else "--"
