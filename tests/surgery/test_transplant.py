"""accelerate makes other people's LSTMs ours and changes nothing else."""

from __future__ import annotations

import copy
import functools
import io
import pickle  # noqa: TID251 – programs pickle modules; this package does not
import warnings
import weakref

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bilstm.errors import DataError
from bilstm.nn import BiLSTM, last_kernel
from bilstm.nn.lstm.accelerated import is_accelerated
from bilstm.surgery import accelerate, restore
from tests.compare import assert_close

LENGTHS = torch.tensor([7, 3, 5, 1])
CLOSE = 1e-5  # both kernels are float32; values are of the order 1


class Highway(nn.Module):
    """A recurrent layer deep inside another module, called with a packed batch, as taggers do."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, num_layers=2, batch_first=True, bidirectional=True)
        self.gate = nn.Linear(6, 16)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        output = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=x.shape[1])[0]
        return output * self.gate(x).sigmoid()


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 6)
        self.body = Highway()
        self.above = nn.LSTM(16, 5, bidirectional=False)
        self.labels = nn.Linear(5, 4)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        x = self.body(self.words(words), lengths)
        return self.labels(self.above(x.transpose(0, 1))[0].transpose(0, 1))


def tagger() -> Tagger:
    torch.manual_seed(3)
    return Tagger()


def words() -> Tensor:
    return torch.randint(20, (4, 7), generator=torch.Generator().manual_seed(1))


def loss(model: nn.Module) -> Tensor:
    return model(words(), LENGTHS).square().mean()


def test_every_lstm_of_a_model_is_swapped_and_named():
    model = tagger()
    done = accelerate(model)
    assert done.swapped == ["body.lstm", "above"]
    assert done.left == []
    assert str(done) == "swapped: body.lstm, above"
    model(words(), LENGTHS)
    assert last_kernel() == "native"


def test_outputs_and_gradients_stay_the_same():
    theirs, ours = tagger(), tagger()
    accelerate(ours)
    assert_close(ours(words(), LENGTHS), theirs(words(), LENGTHS), atol=CLOSE)
    loss(theirs).backward()
    loss(ours).backward()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert_close(a.grad, b.grad, atol=CLOSE, what=name)


def test_an_optimizer_made_before_still_trains_it():
    theirs, ours = tagger(), tagger()
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9) for model in (theirs, ours)]
    accelerate(ours)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    for _ in range(3):
        for model, optimizer in zip((theirs, ours), optimizers, strict=True):
            optimizer.zero_grad()
            loss(model).backward()
            optimizer.step()
    for name, value in ours.state_dict().items():
        assert_close(value, theirs.state_dict()[name], atol=CLOSE, what=name)
    assert any(bool((value != before[name]).any()) for name, value in ours.state_dict().items() if "lstm" in name)


def test_the_state_dict_loads_both_ways():
    theirs, ours = tagger(), tagger()
    accelerate(ours)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())


def test_a_layer_in_two_places_stays_one():
    layer = nn.LSTM(3, 4)
    model = nn.ModuleDict({"first": layer, "second": layer})
    accelerate(model)
    assert model["first"] is model["second"] is layer
    assert is_accelerated(layer)


def test_a_bare_layer_keeps_its_hooks_and_modes_and_can_be_copied():
    layer, seen = nn.LSTM(3, 4, batch_first=True, bidirectional=True).eval(), []
    layer.register_forward_hook(lambda *_: seen.append("called"))
    layer.weight_hh_l0.requires_grad_(False)
    assert accelerate(layer).swapped == [""]
    twin = copy.deepcopy(layer)
    x = torch.randn(2, 5, 3)
    assert_close(twin(input=x)[0], layer(x, hx=None)[0])
    assert seen == ["called", "called"]
    assert not layer.training
    assert not twin.weight_hh_l0.requires_grad


def test_a_layer_stays_an_nn_lstm_to_whoever_asks_for_its_class():
    model = nn.Sequential(nn.LSTM(3, 4))
    accelerate(model)
    assert type(model[0]) is nn.LSTM
    assert repr(model) == repr(nn.Sequential(nn.LSTM(3, 4)))


def test_quantization_takes_an_accelerated_layer():
    model, x = nn.ModuleDict({"lstm": nn.LSTM(3, 4)}).eval(), torch.randn(5, 2, 3)
    accelerate(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = torch.ao.quantization.quantize_dynamic(model, {nn.LSTM})
    assert "quantized" in type(quantized["lstm"]).__module__
    assert_close(quantized["lstm"](x)[0], model["lstm"](x)[0], atol=0.05)


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "torch.save": lambda layer: torch.load(io.BytesIO(saved(layer)), weights_only=False),
    "replica": lambda layer: replica_of(layer),
}


def saved(layer: nn.Module) -> bytes:
    torch.save(layer, to := io.BytesIO())
    return to.getvalue()


def replica_of(layer: nn.LSTM) -> nn.LSTM:
    """A replica of DataParallel with weights of its own, as on another device."""
    replica = layer._replicate_for_data_parallel()
    for name, weight in layer.named_parameters():
        setattr(replica, name, weight.detach().clone())
    return replica


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copies_are_accelerated_and_read_their_own_weights(copied):
    layer, x = nn.LSTM(3, 4, bidirectional=True), torch.randn(5, 2, 3)
    accelerate(layer)
    expected, twin = layer(x)[0], copied(layer)
    assert is_accelerated(twin)
    assert_close(twin(x)[0], expected, atol=0)
    with torch.no_grad():
        twin.weight_hh_l0.mul_(2)
    assert (twin(x)[0] - expected).abs().max() > 1e-3
    assert_close(layer(x)[0], expected, atol=0)


def test_a_shallow_copy_shares_the_parameters_and_nothing_else():
    layer, x = nn.LSTM(3, 4, dropout=0.5, num_layers=2), torch.randn(5, 2, 3)
    accelerate(layer)
    twin = copy.copy(layer).eval()
    assert is_accelerated(twin)
    assert twin.weight_hh_l0 is layer.weight_hh_l0
    assert_close(twin(x)[0], layer.eval()(x)[0], atol=1e-6)
    twin._parameters = {name: nn.Parameter(weight * 2) for name, weight in layer.named_parameters()}
    assert (twin(x)[0] - layer(x)[0]).abs().max() > 1e-3


def test_a_layer_whose_hook_holds_it_can_be_copied():
    layer = nn.LSTM(3, 4)
    layer.register_forward_hook(functools.partial(lambda layer, *_: None, layer))
    accelerate(layer)
    twin = copy.deepcopy(layer)
    assert is_accelerated(twin)
    (hook,) = twin._forward_hooks.values()
    assert hook.args == (twin,)


def test_an_accelerated_layer_is_freed_as_soon_as_nobody_holds_it():
    layer = nn.LSTM(3, 4)
    accelerate(layer)
    gone = weakref.ref(layer)
    del layer
    assert gone() is None


@pytest.mark.filterwarnings("ignore:.torch.jit")
def test_torchscript_compiles_torchs_own_layer():
    model, x = nn.Sequential(nn.LSTM(3, 4)), torch.randn(5, 2, 3)
    accelerate(model)
    expected = model(x)[0]
    assert_close(torch.jit.script(model)(x)[0], expected, atol=1e-6)
    ours = nn.Sequential(BiLSTM(3, 4))
    expected = ours(x)[0]
    assert_close(torch.jit.script(ours)(x)[0], expected, atol=1e-6)


@pytest.fixture
def alone(tmp_path):
    """A group of processes of which this is the only one."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def sharded(model: nn.Module, mesh: DeviceMesh) -> nn.Module:
    for part in (*model.children(), model):
        fully_shard(part, mesh=mesh)
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("wrap", [lambda model, _: DistributedDataParallel(model), sharded], ids=["DDP", "FSDP"])
def test_it_trains_where_parameters_are_shared_out(wrap, alone):
    theirs, ours = tagger(), tagger()
    accelerate(ours)
    loss(theirs).backward()
    wrapped = wrap(ours, alone)
    wrapped(words(), LENGTHS).square().mean().backward()
    assert last_kernel() == "native"
    for a, b in zip(theirs.parameters(), wrapped.parameters(), strict=True):
        whole = b.grad.full_tensor() if hasattr(b.grad, "full_tensor") else b.grad
        assert_close(whole, a.grad, atol=CLOSE)


def test_lengths_may_be_given_to_an_accelerated_layer():
    layer, x = nn.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3)
    accelerate(layer)
    alone, _ = layer(x[1:, :2])
    assert_close(layer(x, lengths=[5, 2])[0][1, :2], alone[0], atol=1e-6)


def test_restore_is_the_way_back():
    model = tagger()
    before = model(words(), LENGTHS)
    assert restore(model) == []
    names = accelerate(model).swapped
    assert accelerate(model) == ([], [(name, "is accelerated already") for name in names])
    assert restore(model) == names
    assert not any("forward" in vars(layer) for layer in model.modules())
    assert_close(model(words(), LENGTHS), before, atol=0)


def test_what_is_left_alone_is_listed_with_its_reason():
    class Own(nn.LSTM):
        pass

    model = nn.ModuleDict(
        {
            "projected": nn.LSTM(3, 4, proj_size=2),
            "own": Own(3, 4),
            "normed": parametrizations.weight_norm(nn.LSTM(3, 4), "weight_hh_l0"),
            "gru": nn.GRU(3, 4),
            "ours": BiLSTM(3, 4),
            "linear": nn.Linear(3, 4),
        }
    )
    kinds = {name: type(layer) for name, layer in model.items()}
    done = accelerate(model)
    assert done.swapped == []
    reasons = dict(done.left)
    assert "projection" in reasons["projected"]
    assert "class of its own" in reasons["own"]
    assert "parametrized" in reasons["normed"]
    assert "GRU" in reasons["gru"]
    assert "already" in reasons["ours"]
    assert "linear" not in reasons
    assert {name: type(layer) for name, layer in model.items()} == kinds


def test_what_is_no_module_is_refused():
    with pytest.raises(DataError, match=r"expected a torch\.nn\.Module, got dict"):
        accelerate({})  # type: ignore[arg-type]
