"""What is measured of a trained model: one flat row, the same from the real program and from the fake."""

from kt_resources.strict import Strict


class Facts(Strict):
    """One row for the model's contract; every value is deterministic.

    Attributes:
        objective, update: the two axes, by their ``type``.
        steps: optimizer steps trained; ``best_step`` is the one whose weights were kept.
        start_eval_loss, final_eval_loss: held-out loss of the start model and of the kept weights.
        start_eval_reward, final_eval_reward: likewise the mean reward of greedy answers, where a verifier scores.
        start_preference_accuracy, final_preference_accuracy: likewise the share of held-out pairs whose better answer
            is likelier than the worse one; None without pairs.
        preference_gain: their difference on the same pairs, ``preference_gain_low`` and ``_high`` its 95 % interval.
        start_eval_reward_accuracy, final_eval_reward_accuracy: likewise the share of held-out pairs that a reward model
            orders rightly, a tie counting half.
        redrawn_groups: groups of equal rewards that gave way to other prompts; None without dynamic sampling.
        tokenizer_identical: ``tokenizer.json`` is the start's, byte for byte.
        chat_template_identical: as the tokenizer resolves it.
        eos_token_id_identical: in config, generation config and tokenizer.
        vocab_size_identical: in the config and in the embedding's rows.
        tied_embeddings_survive: the tie flag is the start's, and tied weights are equal after a reload.
        delta_norm_relative: ‖W − W₀‖ / ‖W₀‖ over all tensors; None where the weights stay and an adapter is all.
        adapter_merged_max_logit_diff: largest |logit| difference between start + adapter and the merged model, in
            float32 on the probe prompts; None where there is no adapter or no probe.
        adapter_merged_mean_kl: mean KL(start + adapter ‖ merged) over the same positions, in nats.
        trained_saved_max_logit_diff: largest |logit| difference between the model in memory at the end of training and
            the saved one, loaded anew; None unless it was trained in float32 and its last weights were kept.
        adapter_only: True where the artifact holds an adapter and no model; None elsewhere.
        kl_to_start: mean KL(trained ‖ start) over the probe prompts' positions, in nats.
        stops_rate: share of probe prompts whose greedy answer ends with a stop token in time.
    """

    objective: str
    update: str
    steps: int
    best_step: int
    num_trained_rows: int
    start_eval_loss: float | None = None
    final_eval_loss: float | None = None
    start_eval_reward: float | None = None
    final_eval_reward: float | None = None
    start_preference_accuracy: float | None = None
    final_preference_accuracy: float | None = None
    preference_gain: float | None = None
    preference_gain_low: float | None = None
    preference_gain_high: float | None = None
    num_held_out_pairs: int | None = None
    start_eval_reward_accuracy: float | None = None
    final_eval_reward_accuracy: float | None = None
    redrawn_groups: int | None = None
    tokenizer_identical: bool
    chat_template_identical: bool
    eos_token_id_identical: bool
    vocab_size_identical: bool
    tied_embeddings_survive: bool
    finite: bool
    has_nan: bool
    delta_norm_relative: float | None
    num_changed_tensors: int
    num_tensors: int
    adapter_merged_max_logit_diff: float | None = None
    adapter_merged_mean_kl: float | None = None
    trained_saved_max_logit_diff: float | None = None
    kl_to_start: float | None = None
    stops_rate: float | None = None
    adapter_only: bool | None = None
    num_probes: int
