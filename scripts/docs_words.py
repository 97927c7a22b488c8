"""What mkdocstrings reads of docstrings where griffe expects other words: `Example:`, and `Args:` of settings."""

import re
from typing import Any

from griffe import Class, Extension, Object


class HouseWords(Extension):
    """Shows `Example:` as code with its output, and the `Args:` of a model of pydantic as its fields."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Rename the sections of one docstring."""
        if obj.docstring is None:
            return
        text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
        if isinstance(obj, Class) and any(str(each).rpartition(".")[2] == "BaseModel" for each in obj.bases):
            text = re.sub(r"^Args:$", "Attributes:", text, flags=re.MULTILINE)
        obj.docstring.value = text
