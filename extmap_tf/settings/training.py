"""The training of the network."""

from dataclasses import dataclass

from extmap_tf.bounds import Section, setting

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class TrainingConfig(Section):
    """How the network is trained."""

    batch_size: int = setting(256, "Pairs per step, over all replicas together.", at_least=1, at_most=65536)
    epochs: int = setting(20, "Most passes over the training pairs.", at_least=1, at_most=100000)
    patience_epochs: int = setting(
        10, "Stop when the validation loss has not fallen for so many epochs.", at_least=1
    )
    learning_rate: float = setting(
        1e-3,
        """Peak of the schedule: a linear rise over `warmup_fraction` of all steps, then a cosine fall to
        1 %.""",
        above=0,
        below=1,
    )
    warmup_fraction: float = setting(
        0.05, "Share of the steps over which the learning rate rises.", at_least=0, below=1
    )
    weight_decay: float = setting(1e-4, "Decoupled weight decay (AdamW).", at_least=0, below=1)
    gradient_norm: float = setting(
        0.0,
        "Most of the norm of a step's gradient over all weights; a longer one is shortened. 0: no limit.",
        at_least=0,
    )
    precision: str = setting(
        "auto",
        """Of the arithmetic; weights are float32. auto: mixed_bfloat16 where the GPUs, or else the processor,
        multiply in it (AVX512-BF16, AMX), else float32.""",
        one_of=PRECISIONS,
        counts_as={"auto": "float32"},
    )
    shuffle_buffer: int = setting(8192, "Examples held in memory for shuffling.", at_least=1)
    dropped_share: float = setting(
        0.2,
        "Of several surveys, share of the pairs of a batch of which the network does not see one.",
        at_least=0,
        at_most=1,
    )
