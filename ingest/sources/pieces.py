"""Cutting what a protocol delivers into batches that the pump may hold."""


def cut_pieces(sizes: list[int], *, bytes_max: int, messages_max: int) -> list[tuple[int, int]]:
    """Half-open ranges over n messages of these sizes, each within both limits.

    A single message that is larger than `bytes_max` is a piece by itself.
    """
    if not sizes:
        return []
    if len(sizes) <= messages_max and sum(sizes) <= bytes_max:
        return [(0, len(sizes))]
    pieces, start, held = [], 0, 0
    for index, size in enumerate(sizes):
        if index > start and (held + size > bytes_max or index - start == messages_max):
            pieces.append((start, index))
            start, held = index, 0
        held += size
    return [*pieces, (start, len(sizes))]
