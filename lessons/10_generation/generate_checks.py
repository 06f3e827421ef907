"""What must hold of generate, in teaching order."""

import torch
from torch import nn

from firsthand.contracts.finding import Broken
from firsthand.learn.grader import properties as p
from firsthand.learn.grader.checks import Checks, Property
from firsthand.learn.grader.subject import Sign


class Reader(nn.Module):
    """Scores that fade: 0.6 of the last ones, and a row of a table. In training mode they are turned round."""

    def __init__(self, context_length: int = 64, counting: bool = False, vocab_size: int = 13) -> None:
        super().__init__()
        self.context_length, self.vocab_size, self.fade = context_length, vocab_size, 0.0 if counting else 0.6
        table = torch.randn(vocab_size, vocab_size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        self.table = nn.Parameter(torch.eye(vocab_size).roll(1, 1) if counting else table)
        self.inner = nn.Dropout(0.5)  # a part with a mode of its own
        self.watched = False

    def forward(self, ids):
        if not 0 < ids.shape[1] <= self.context_length:
            raise Broken(
                f"The model was given {ids.shape[1]} tokens; it reads 1 to {self.context_length} (context_length).",
                "It has learnt no positions beyond its context.",
                "Give it the last context_length tokens.",
            )
        self.watched = torch.is_grad_enabled()
        found, now = [], 0.0
        for one in self.table[ids].unbind(1):
            now = self.fade * now + one
            found.append(now.flip(-1) if self.training else now)
        return torch.stack(found, 1)


def greedy(logits):
    if logits.dim() != 2:
        raise Sign(
            f"sample was given logits {tuple(logits.shape)}; it takes (batch, vocab_size).",
            "The model scores what follows every token; only what follows the last is new.",
            "Take the last place of the axis of time before you sample.",
            "places",
        )
    return logits.argmax(-1)


def one_beyond(logits):
    return greedy(logits) + 1


def prompts(batch: int = 3, time: int = 5, new: int = 7, **more: object):
    return lambda draw: {"ids": draw.integers(13, batch, time), "max_new_tokens": new} | more


def write(parts, ids, max_new_tokens, context=64, stop=(), training=False):
    return parts.generate(Reader(context).train(training), ids, max_new_tokens, greedy, stop)


def counting(parts, start: list[list[int]], new: int, stop=()):
    return parts.generate(Reader(counting=True).eval(), torch.tensor(start), new, greedy, stop)


def modes(subject) -> None:
    for training in (True, False):

        def run(parts, training=training):
            model = Reader().train(training)
            model.inner.eval()  # what stood still stays so
            parts.generate(model, torch.tensor([[1, 2]]), 2, greedy)
            return model.training, model.inner.training

        after = subject.within(run)
        if after[0] != training:
            raise Sign(
                f"The model was in {'training' if training else 'evaluation'} mode before the call, and is not after.",
                "Samples are drawn in the middle of training; dropout would be off from then on."
                if training
                else "Whoever evaluates a model would go on with dropout at work.",
                "Remember model.training, call model.eval(), and set it back at the end.",
                "left" if training else "trains",
            )


def graph(subject) -> None:
    model = Reader()
    subject.within(lambda parts: parts.generate(model, torch.tensor([[1, 2]]), 2, greedy), grad=True)
    if model.watched:
        raise Broken(
            "While it wrote, the model was asked to remember everything for gradients.",
            "Nobody takes a gradient of a text, and the memory grows with every token.",
            "Put the loop under torch.no_grad() (or torch.inference_mode()).",
        )


GENERATE = Checks(
    call=write,
    axes={"ids": "batch time"},
    cases={
        "usual": prompts(),
        "longer than the context": prompts(context=6),
        "a prompt longer than the context": prompts(time=9, context=4),
        "some rows stop": prompts(batch=5, new=11, stop=(2, 7)),
        "all rows stop": prompts(stop=tuple(range(13))),
        "a model in training mode": prompts(training=True),
        "one row, one token": prompts(batch=1, time=1, new=1),
        "nothing new": prompts(new=0),
    },
    properties=(
        p.by_hand(
            "counting",
            lambda parts: counting(parts, [[3, 4], [8, 1]], 3),
            torch.tensor([[3, 4, 5, 6, 7], [8, 1, 2, 3, 4]]),
            "A model that counts on, asked for 3 tokens after (3 4) and (8 1),",
            "The next token follows from the last place, is put behind the text, and the text is read again.",
            "Write the loop for one token, and print ids after each round.",
        ),
        p.by_hand(
            "stops",
            lambda parts: counting(parts, [[3], [7]], 4, (9,)),
            torch.tensor([[3, 4, 5, 6, 7], [7, 8, 9, 9, 9]]),
            "A model that counts on from (3) and (7), for 4 tokens, with stop = (9),",
            "One row has ended and repeats its end; the others have not, and go on.",
            "Keep a bool for each row: has it drawn an id of stop? Choose with torch.where.",
        ),
        p.by_hand(
            "ends",
            lambda parts: counting(parts, [[7], [8]], 5, (9, 12)),
            torch.tensor([[7, 8, 9], [8, 9, 9]]),
            "A model that counts on from (7) and (8), for 5 tokens, with stop = (9, 12),",
            "When all rows have ended nothing is left to do.",
            "Leave the loop as soon as all rows have ended, and no sooner.",
        ),
        p.by_hand(
            "asks_sample",
            lambda parts: parts.generate(Reader(counting=True).eval(), torch.tensor([[3, 4]]), 3, one_beyond),
            torch.tensor([[3, 4, 6, 8, 10]]),
            "A model that counts on, with a sample that takes the id behind the most probable one, after (3 4),",
            "Which token is taken is for sample to say: that is how one loop writes greedily, warmly or by a grammar.",
            "next = sample(logits of the last place), and no argmax of your own.",
        ),
        p.parity(
            "window",
            lambda parts, ids, max_new_tokens, context: write(parts, ids, 1, context),
            lambda parts, ids, max_new_tokens, context: torch.cat(
                (ids, write(parts, ids[:, -context:], 1, context)[:, -1:]), 1
            ),
            "The token after a long text and the token after its last context_length tokens",
            "A model reads no more than its context, and the end of a text says most about what follows.",
            "ids[:, -model.context_length :]",
            case="a prompt longer than the context",
        ),
        p.parity(
            "evaluation_mode",
            lambda parts, **given: write(parts, **given),
            lambda parts, **given: write(parts, **given | {"training": False}),
            "What a model in training mode writes and what it writes in evaluation mode",
            "Dropout makes training harder on purpose; a text should be as good as the model is.",
            "Call model.eval() before the loop.",
            case="a model in training mode",
        ),
        Property("mode", modes, "purity"),
        Property("no_graph", graph, "purity"),
        p.parity(
            "rows_alone",
            lambda parts, ids, max_new_tokens: write(parts, ids, max_new_tokens),
            lambda parts, ids, max_new_tokens: torch.cat([write(parts, row[None], max_new_tokens) for row in ids]),
            "Three rows written together and each alone",
            "What a row becomes is not its neighbours' business.",
            "Look for an index or a maximum that runs over the axis of the batch.",
        ),
    ),
)
