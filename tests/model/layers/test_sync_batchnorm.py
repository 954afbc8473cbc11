"""yolo.model.layers.sync_batchnorm: two processes on halves of a batch against torch's batch norm on the whole of
it."""

import torch
from torch import nn

from tests.helpers.tiny_data import cfg_text, network_of
from tests.helpers.two_processes import in_two_processes
from yolo.model.layers.parameters import batch_norm
from yolo.model.layers.sync_batchnorm import SyncBatchNorm, convert_sync_batchnorm
from yolo.model.weights import save_weights

CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def drawn_norm():
    """A batch norm of 5 channels whose every number matters."""
    norm = batch_norm(5)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            tensor.copy_(0.5 + torch.rand(5, generator=generator))
    return norm


def passed(norm, features, weights):
    """Output, gradients of sum(weights * output), and running statistics of one pass."""
    features = features.clone().requires_grad_()
    output = norm(features)
    (output * weights).sum().backward()
    return [output.detach(), features.grad, norm.weight.grad, norm.bias.grad,
            norm.running_mean, norm.running_var, norm.num_batches_tracked]  # fmt: skip


def pass_halves(processes, cases):
    halves = [[tensor.chunk(2)[processes.rank] for tensor in case] for case in cases]
    return [passed(SyncBatchNorm(drawn_norm()), *half) for half in halves]


def test_halves_in_two_processes_are_the_whole_in_one(tmp_path):
    cases = [(10 + 3 * torch.randn(s), torch.randn(s)) for s in ((4, 5, 3, 7), (2, 5, 1, 1))]
    parts = in_two_processes(pass_halves, tmp_path, cases)
    for case, first, second in zip(cases, *parts, strict=True):
        compare(passed(drawn_norm(), *case), first, second)


def compare(whole, first, second):
    for place in (0, 1):  # output and the features' gradient: one half each
        torch.testing.assert_close(torch.cat((first[place], second[place])), whole[place], **CLOSE)
    for place in (
        2,
        3,
    ):  # gradients of scales and biases: their sum, which DistributedDataParallel takes
        torch.testing.assert_close(first[place] + second[place], whole[place], rtol=1e-6, atol=1e-5)
    for part in (first, second):
        for place in (4, 5, 6):
            torch.testing.assert_close(part[place], whole[place], **CLOSE)


def test_in_evaluation_it_is_batch_norm_and_needs_no_other_process():
    norm = drawn_norm().eval()
    synced = SyncBatchNorm(drawn_norm()).eval()
    features = torch.randn(2, 5, 3, 4)
    torch.testing.assert_close(synced(features), norm(features), **CLOSE)
    half = synced(features.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), norm(features), rtol=0.02, atol=0.02)


def test_names_parameters_and_stored_bytes_of_a_network_stay(tmp_path):
    text = cfg_text()
    network = network_of(text, seed=3)
    before, parameters = network.state_dict(), [id(each) for each in network.parameters()]
    save_weights(network, tmp_path / "before.weights")
    assert convert_sync_batchnorm(network) is network
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert [id(each) for each in network.parameters()] == parameters
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert sum(isinstance(module, SyncBatchNorm) for module in network.modules()) == 2
    save_weights(network, tmp_path / "after.weights")
    assert (tmp_path / "after.weights").read_bytes() == (tmp_path / "before.weights").read_bytes()


def test_every_layer_with_a_norm_gets_it_and_a_shared_one_stays_shared():
    net, layers = cfg_text(dropout=False).split("\n[convolutional]", 1)
    owner = "\n[convolutional]\nbatch_normalize=1\nfilters=3\nsize=1\nstride=1\nactivation=leaky\n"
    lender = owner + "share_index=0\n"
    kinds = "\n[batchnorm]\n" + owner.replace("activation", "xnor=1\nactivation")
    network = network_of(net + owner + lender + kinds + "\n[convolutional]" + layers)
    convert_sync_batchnorm(network.eval())
    assert network.layers[1].owner.norm is network.layers[0].norm
    assert isinstance(network.layers[2].norm, SyncBatchNorm)
    assert isinstance(network.layers[3].plain.norm, SyncBatchNorm)
    assert not any(module.training for module in network.modules())
    assert network(torch.rand(1, 3, 48, 64))[0].shape == (1, 14, 6, 8)
