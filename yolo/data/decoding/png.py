"""Find out whether a PNG file is truncated (W3C PNG specification, section 5.3: a chunk is length, type, data, CRC)."""

PNG_START = b"\x89PNG\r\n\x1a\n"
CHUNK_ENDS = 12  # bytes of a chunk beside its data
LAST_CHUNK = b"IEND"


def png_breaks_off(data: bytes) -> bool:
    """Whether a chunk of a PNG file, other than the last one, has a length beyond the end of the file.

    OpenCV 5 takes memory for the size written in a chunk, up to 4 GB for a file of 100 bytes.
    """
    place = len(PNG_START)
    while place + CHUNK_ENDS <= len(data):
        end = place + CHUNK_ENDS + int.from_bytes(data[place : place + 4], "big")
        if end > len(data):
            return True
        if data[place + 4 : place + 8] == LAST_CHUNK:
            return False
        place = end
    return place < len(data)
