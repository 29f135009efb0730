"""Inference: a fine-tuned model's logits for all of a task's documents."""

from __future__ import annotations

import numpy as np
import torch

from ernie_m.catalogue.tasks import Task
from ernie_m.xtreme.model.features import Features
from ernie_m.xtreme.model.heads import TaskModel, loss

Array = np.ndarray
BATCH_DOCUMENTS = 128


@torch.inference_mode()
def predict_logits(task: Task, model: TaskModel, features: Features) -> tuple[list[Array], float]:
    """Logits float32 ``[positions, outputs]`` of each document, and the mean loss over batches.

    Leaves the model in the mode it was in.
    """
    was_training = model.training
    model.eval()
    logits: list[Array] = [np.empty(0)] * len(features)
    total = 0.0
    for order in features.by_length(BATCH_DOCUMENTS):
        batch = features.batch(order)
        batch_logits = model(batch)
        total += loss(task, batch_logits, batch).item() * len(order)
        for document, part in zip(order, batch_logits.split(batch.counts.tolist()), strict=True):
            logits[document] = part.cpu().numpy()
    model.train(was_training)
    return logits, total / len(features)
