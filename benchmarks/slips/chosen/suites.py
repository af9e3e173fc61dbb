# SPDX-License-Identifier: Apache-2.0
"""The tests of a command and of what it is made of, the quickest first."""

COMMAND = (
    "tests/options/test_embed_jax.py",
    "tests/end_to_end/test_defaults.py",
    "tests/end_to_end/test_resume.py",
    "tests/end_to_end/test_command.py",
    "tests/end_to_end/test_elmo_command.py",
)
FINETUNE = (
    "tests/train/tasks/finetune/test_classifier.py",
    "tests/train/tasks/finetune/test_finetuning.py",
    "tests/train/families/test_finetuned_models.py",
    "tests/train/test_finetune.py",
    "tests/options/test_finetune.py",
)
NER = (
    "tests/train/tasks/ner/test_tagging.py",
    "tests/train/test_ner.py",
    "tests/options/test_ner.py",
)
PREPARE = ("tests/train/test_prepare.py", "tests/options/test_prepare.py")
PRETRAIN = (
    "tests/train/test_pretrain.py",
    "tests/options/test_pretrain.py",
    "tests/train/test_resume.py",
)
PROBE = ("tests/train/test_probe.py", "tests/options/test_probe.py")
