"""The journal of a process that tells nothing: of several, only the first one writes and prints."""


class Silence:
    """Takes what a Journal takes."""

    def step(self, *_: object) -> None:
        """Nothing."""

    scores = curves = histograms = pictures_seen = say = step

    def close(self) -> None:
        """Nothing is open."""
