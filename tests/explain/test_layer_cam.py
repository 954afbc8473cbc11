"""LayerCAM against torchcam's, and what a map of a detection has to depend on."""

import pytest
import torch
from torchcam.methods import LayerCAM

from tests.helpers.golden import network_of
from tests.helpers.tiny_heads import CLASSIFIERS, HEADS
from yolo.explain.layer_cam import layer_cam, score_gradients, traced_pass
from yolo.model.network import IMAGE

MORE = "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=leaky\n"
DEEPER = {
    name: text.replace("activation=leaky\n", f"activation=leaky\n{MORE}", 1)
    for name, text in (HEADS | CLASSIFIERS).items()
}


class Scores(torch.nn.Module):
    """A network as torchcam takes it: images → scores [B, P], of all boxes for a class or of all classes."""

    def __init__(self, network, score):
        super().__init__()
        self.network, self.score = network, score

    def forward(self, images):
        return self.score(self.network, self.network(images))


def class_one(network, raw):
    predictions = network.decode(raw)
    return predictions.objectness * predictions.class_probs[..., 1]


def probabilities(network, raw):
    return network.classify(raw)


def own_map(network, images, score, layer, place):
    traced = traced_pass(network, images, [layer])
    gradient = score_gradients(traced, score(network, traced.raw)[0, place], [layer])[layer]
    return layer_cam(traced.features[layer], gradient)[0]


@pytest.mark.parametrize("name", DEEPER)
def test_the_map_is_torchcams(name):
    network = network_of(DEEPER[name]).eval()
    score = class_one if name in HEADS else probabilities
    images = torch.rand(1, 3, network.input.height, network.input.width)
    with LayerCAM(Scores(network, score), "network.layers.0") as extractor:
        scores = extractor.model(images)
        places = range(0, scores.shape[1], max(1, scores.shape[1] // 8))
        expected = [extractor(place, scores, retain_graph=True, normalized=False)[0][0].detach() for place in places]
    own = [own_map(network, images, score, 0, place) for place in places]
    assert sum(bool(each.any()) for each in expected) >= 2  # where no channel helps, a map is 0
    torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-9)


def test_another_detection_another_layer_and_other_weights_have_another_map():
    network = network_of(DEEPER["yolo"]).eval()
    images = torch.rand(1, 3, 16, 24)

    def direction(layer, place):
        found = own_map(network, images, class_one, layer, place)
        return found / found.norm()

    first = direction(0, 30)
    assert torch.equal(first, direction(0, 30))
    assert not torch.allclose(first, direction(0, 47), atol=0.1)
    assert not torch.allclose(first, direction(1, 30), atol=0.1)
    network.draw_weights()  # the sanity check of Adebayo et al. 2018: a map that ignores the weights explains nothing
    assert not torch.allclose(first, direction(0, 30), atol=0.1)


def test_a_score_that_does_not_depend_on_a_layer_has_gradient_0_there():
    network = network_of(HEADS["two_yolo"]).eval()
    traced = traced_pass(network, torch.rand(1, 3, 16, 24), [IMAGE, 0, 5])
    score = class_one(network, traced.raw)[0, 0]  # of the first head; layer 5 feeds the second
    gradients = score_gradients(traced, score, [IMAGE, 0, 5])
    assert gradients[5].shape == traced.features[5].shape and not gradients[5].any()
    assert gradients[IMAGE].any() and gradients[0].any()
    unreached = score_gradients(traced, traced.raw[0].sum(), [5])[5]  # no path at all, where PyTorch gives None
    assert unreached.shape == traced.features[5].shape and not unreached.any()


def test_what_cannot_be_traced_is_an_error():
    network = network_of(HEADS["yolo"])
    with pytest.raises(ValueError, match="training mode"):
        traced_pass(network, torch.rand(1, 3, 16, 24), [0])
    with pytest.raises(ValueError, match="found layer 3, expected 0 to 2"):
        traced_pass(network.eval(), torch.rand(1, 3, 16, 24), [3])
