"""What the settings say of themselves: the text below each one in infra/settings.

pydantic could read it too (`use_attribute_docstrings`). It would do so in every preview, which parses all sources.
"""

import ast
import inspect
from itertools import pairwise
from typing import cast

from infra.settings.section import Section


def descriptions(section: type[Section]) -> dict[str, str]:
    """By the name of the setting; sections within this one have none."""
    defined = cast("ast.ClassDef", ast.parse(inspect.getsource(section)).body[0])
    return {
        above.target.id: inspect.cleandoc(str(below.value.value))
        for above, below in pairwise(defined.body)
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    }
