"""A network's call as a CUDA graph, captured by hand: a small network's kernels take longer to be launched than to compute.

A graph is captured for each kind of call (shapes, precision, with gradients or without): of the forward pass and, with
gradients, of the backward pass. It reads and writes the same memory each time. A capture takes as long as a few calls,
where compiling takes a minute or two.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.unet import Dropout

PLAIN_CALLS = 2  # of a kind, before it is captured: what is called once or twice does not repay it
MOST_GRAPHS = 8  # each keeps the memory of its feature maps; calls of further kinds are made as the network is written
WARM_UPS = 3  # calls before a capture, in which libraries choose their algorithms: as in torch.cuda.make_graphed_callables


class CudaRecorder:
    """Captures on a stream of its own. What other threads do meanwhile (noise, files) does not spoil it."""

    def __init__(self, device: torch.device):
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    def renew(self) -> None:
        """To be called when all that was captured is gone: its shared memory cannot be taken again."""
        self.pool = torch.cuda.graph_pool_handle()

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """A context for warm-ups and captures, after which the random numbers go on as if it had not been."""
        torch.cuda.synchronize(self.stream.device)
        with torch.cuda.stream(self.stream), torch.random.fork_rng([self.stream.device]):
            try:
                yield
            except Exception:  # a capture that fails leaves the generator waiting for its end: it needs another state
                fresh = torch.Generator(self.stream.device)
                default = torch.cuda.default_generators[self.stream.device.index]
                default.graphsafe_set_state(fresh.graphsafe_get_state())
                raise
        torch.cuda.synchronize(self.stream.device)

    def record(self, work: Callable[[], object], *, shared: bool) -> tuple[object, Callable[[], object]]:
        """What `work` gives, and a function that does the same again, in the same memory.

        shared: in the memory of all that are, for works that leave nothing behind for a later one.
        """
        graph = torch.cuda.CUDAGraph()
        pool = self.pool if shared else None
        with torch.cuda.graph(graph, pool=pool, stream=self.stream, capture_error_mode="thread_local"):
            result = work()
        return result, graph.replay


class Graph:
    """One kind of call, captured: what it reads, what it writes, and how it is done again."""

    def __init__(
        self, network: Callable[..., Tensor], inputs: tuple[Tensor, ...], weights: list[Tensor], recorder: CudaRecorder
    ):
        """`network` called on tensors like `inputs`. weights: those that gradients are wanted of; none: no backward pass."""
        self.inputs = [x.detach().clone() for x in inputs]
        self.number = 0  # of the forward pass whose feature maps are in the memory
        kind = inputs[0].device.type
        how = {"dtype": torch.get_autocast_dtype(kind), "enabled": torch.is_autocast_enabled(kind)}

        def forward() -> Tensor:
            with torch.autocast(kind, **how, cache_enabled=False):  # what is cached would not be computed again
                return network(*self.inputs)

        def backward() -> tuple[Tensor | None, ...]:
            return torch.autograd.grad(self.output, weights, self.output_gradient, allow_unused=True)

        with recorder.prepared():
            for _ in range(WARM_UPS):
                self.output = forward()
                self.output_gradient = torch.zeros_like(self.output)
                if weights:
                    backward()
            self.output, self.replay_forward = recorder.record(forward, shared=not weights)
            if weights:
                self.gradients, self.replay_backward = recorder.record(backward, shared=False)
        self.output = self.output.detach()

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The output for `inputs`, in memory of its own."""
        torch._foreach_copy_(self.inputs, inputs)
        self.number += 1
        self.replay_forward()
        return self.output.clone()

    def backward(self, number: int, output_gradient: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of forward pass `number`, the latest, in memory of their own: they may be summed up."""
        if number != self.number:
            raise RuntimeError("a captured network goes backwards once after each forward pass, before the next one")
        self.number += 1
        self.output_gradient.copy_(output_gradient)
        self.replay_backward()
        copies = iter(torch._foreach_mul([gradient for gradient in self.gradients if gradient is not None], 1.0))
        return tuple(None if gradient is None else next(copies) for gradient in self.gradients)


def check_same(captured: Tensor, plain: Tensor) -> None:
    """RuntimeError unless both are one call's output, to what other kernels round otherwise in the lowest precision."""
    largest = plain.nan_to_num(0, 0, 0).abs().max().item()
    if not torch.allclose(captured, plain, rtol=0.05, atol=0.05 * largest, equal_nan=True):
        raise RuntimeError("the captured network gives other values than the network as it is written")


class _Differentiable(torch.autograd.Function):
    """A `Graph` as a function of its weights: the inputs need no gradient."""

    @staticmethod
    def forward(context, graph: Graph, inputs: tuple[Tensor, ...], *weights: Tensor) -> Tensor:
        output = graph(*inputs)
        context.graph, context.number = graph, graph.number
        return output

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, output_gradient: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *context.graph.backward(context.number, output_gradient)


class GraphedFunction:
    """`function` of tensors, without gradients, as a CUDA graph from its first call on; as it is written where that fails.

    It gives a list of tensors, which lie in the same memory each time. Inputs of other shapes than the first call's are for
    the plain function.
    say_why_not: told, once, why it is not captured.
    """

    def __init__(
        self,
        function: Callable[..., Sequence[Tensor]],
        recorder: CudaRecorder,
        say_why_not: Callable[[str | Exception], object],
    ):
        self.function, self.say_why_not = function, say_why_not
        self.recorder: CudaRecorder | None = recorder  # None: given up
        self.inputs: list[Tensor] = []  # and the next two: none before the first call
        self.outputs: Sequence[Tensor] = []
        self.replay: Callable[[], object] | None = None

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        if self.recorder is not None and not self.inputs:
            self._capture(inputs)
        if self.recorder is None or [x.shape for x in inputs] != [x.shape for x in self.inputs]:
            return self.function(*inputs)
        torch._foreach_copy_(self.inputs, inputs)
        self.replay()
        return self.outputs

    def _capture(self, inputs: Sequence[Tensor]) -> None:
        """Once; the replay is compared with a plain call."""
        try:
            self.inputs = [x.clone() for x in inputs]
            with self.recorder.prepared():
                for _ in range(WARM_UPS):
                    expected = self.function(*self.inputs)
                self.outputs, self.replay = self.recorder.record(lambda: self.function(*self.inputs), shared=False)
            self.replay()
            for captured, plain in zip(self.outputs, expected):
                check_same(captured, plain)
        except torch.OutOfMemoryError:
            self._give_up("its memory is needed")
        except Exception as error:  # what CUDA, cuDNN or cuBLAS may raise has nothing in common
            self._give_up(error)

    def _give_up(self, reason: str | Exception) -> None:
        self.recorder, self.inputs, self.outputs, self.replay = None, [], [], None
        self.say_why_not(reason)


class GraphedCall:
    """The call of `model`, in the place of its own, by graphs; the plain one where there is none, or capturing fails.

    plain_calls: how many of a kind are made before it is captured. say_why_not: told, once, why nothing is captured any more.
    """

    def __init__(
        self,
        model: nn.Module,
        recorder: CudaRecorder,
        say_why_not: Callable[[str | Exception], object],
        *,
        plain_calls: int = PLAIN_CALLS,
    ):
        self.plain, self.plain_calls, self.say_why_not = model._call_impl, plain_calls, say_why_not
        self.model = model
        self.recorder: CudaRecorder | None = recorder  # None: given up
        self.weights = list(model.parameters())
        self.dropout = next((module for module in model.modules() if isinstance(module, Dropout)), None)
        self.places: list[int] = []  # where the weights lie that the graphs read
        self.seen: dict[tuple, int] = {}  # how many calls of each kind there were
        self.graphs: dict[tuple, Graph] = {}
        self.lock = threading.Lock()  # a web page draws in several threads

    def __call__(self, *inputs: Tensor) -> Tensor:
        if self.recorder is None or any(x.requires_grad or x.device != self.weights[0].device for x in inputs):
            return self.plain(*inputs)
        with self.lock:
            graph, weights = (None, []) if self.recorder is None else self._graph_for(inputs)  # another thread may give up
            if graph is not None:
                return _Differentiable.apply(graph, inputs, *weights) if weights else graph(*inputs)
        try:
            return self.plain(*inputs)
        except torch.OutOfMemoryError:
            if not self.graphs:
                raise
            self.give_up("their memory is needed")
        return self.plain(*inputs)

    def _graph_for(self, inputs: tuple[Tensor, ...]) -> tuple[Graph | None, list[Tensor]]:
        """The graph for such a call, which may be captured now; and the weights that gradients are wanted of."""
        weights = [weight for weight in self.weights if weight.requires_grad] if torch.is_grad_enabled() else []
        places = [weight.data_ptr() for weight in self.weights]
        if places != self.places:
            self.graphs.clear()
            self.recorder.renew()
            self.places = places
        kind = self._kind(inputs, bool(weights))
        if kind in self.graphs:
            return self.graphs[kind], weights
        self.seen[kind] = self.seen.get(kind, 0) + 1
        if self.seen[kind] <= self.plain_calls or len(self.graphs) == MOST_GRAPHS:
            return None, weights
        try:
            graph = Graph(self.plain, inputs, weights, self.recorder)
            if self.dropout is None or not self.model.training:  # dropout's next call is another one
                check_same(graph(*inputs), self.plain(*inputs))
            self.graphs[kind] = graph
        except Exception as error:  # what CUDA, cuDNN or cuBLAS may raise has nothing in common
            self.give_up(error)
        return self.graphs.get(kind), weights

    def _kind(self, inputs: tuple[Tensor, ...], with_gradients: bool) -> tuple:
        """All that kernels depend on, beside values in memory that stays where it is."""
        device = inputs[0].device.type
        arithmetic = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device), torch.get_float32_matmul_precision()
        modes = with_gradients, self.model.training, torch.is_inference_mode_enabled()
        whole_batch = None if self.dropout is None else self.dropout.batch_size
        return *modes, *arithmetic, whole_batch, *((x.shape, x.dtype) for x in inputs)

    def give_up(self, reason: str | Exception) -> None:
        """From now on as it is written."""
        if self.recorder is not None:
            self.graphs.clear()
            self.recorder = None
            self.say_why_not(reason)
