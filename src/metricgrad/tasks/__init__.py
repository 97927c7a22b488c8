"""Tasks: real data, a model to start from and its proxy loss, one file each. `load(options, observer)` makes one."""

__all__ = [
    "boxes",
    "digits",
    "emoji",
    "emoji_categories",
    "fashion",
    "fashion_ap",
    "fashion_long_tail",
    "imbalanced_f1",
    "income",
    "letters_long_tail",
    "satellite",
    "scenes",
    "sections",
    "shuttle",
    "text_retrieval",
    "words",
]
