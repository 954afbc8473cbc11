"""Find layers of a network by its graph: those that a layer is computed from, the one before a head, larger maps."""

from yolo.model.network import IMAGE, Network

EARLIER = 2  # number of larger maps before the layer that feeds a head


def layers_before(network: Network, layer: int) -> set[int]:
    """Return Darknet's numbers of all layers that `layer` is computed from."""
    found: set[int] = set()
    waiting = [layer]
    while waiting:
        new = {source for source in network.sources[waiting.pop()] if source != IMAGE} - found
        found |= new
        waiting.extend(new)
    return found


def feeding_layer(network: Network, end: int) -> int:
    """Return the last layer with a map before the one that makes the raw map of a head, or the classes of a classifier.

    Args:
        network: any network.
        end: the number of a head, or of the layer whose output is the result.

    Returns:
        Its number. The layer that makes the raw map, mostly a 1x1 convolution, is skipped, because its channels are
        the boxes themselves. It is returned only if there is no other layer.
    """
    made_by = network.sources[end][0] if end in network.heads else end
    before = layers_before(network, made_by) if made_by != IMAGE else set()
    maps = [layer for layer in before if min(network.shapes[layer][1:]) > 1]
    return max(maps, default=max(made_by, 0))


def informative_layers(network: Network, end: int) -> tuple[int, ...]:
    """Return the layer that feeds a head, and the last layers before it of the next EARLIER larger maps, deepest first.

    Args:
        network: any network.
        end: the number of a head, or of the layer whose output is the result.
    """
    feeding = feeding_layer(network, end)
    return feeding, *larger_maps_before(network, feeding)


def larger_maps_before(network: Network, layer: int) -> tuple[int, ...]:
    """Return the last layers before `layer` of the next EARLIER larger maps, deepest first."""
    last: dict[int, int] = {}
    for before in layers_before(network, layer):
        _, height, width = network.shapes[before]
        last[height * width] = max(last.get(height * width, before), before)
    _, height, width = network.shapes[layer]
    larger = sorted(area for area in last if area > height * width)
    return tuple(last[area] for area in larger[:EARLIER])
