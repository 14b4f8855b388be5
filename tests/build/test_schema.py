"""The reader of operator schemas that tests, stubs and benchmarks rely on."""

from __future__ import annotations

import pytest

from tools.schema import Parameter, parse


def test_parameters_with_types_defaults_and_the_keyword_marker() -> None:
    signature = parse("sum(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor")
    assert signature.name == "sum"
    assert signature.returns == ("Tensor",)
    assert signature.parameters == (
        Parameter("self", "Tensor", is_list=False, optional=False, default=None, keyword_only=False),
        Parameter("dim", "int", is_list=True, optional=True, default="None", keyword_only=False),
        Parameter("keepdim", "bool", is_list=False, optional=False, default="False", keyword_only=False),
        Parameter("dtype", "ScalarType", is_list=False, optional=True, default="None", keyword_only=True),
    )
    assert signature.required == signature.tensors == signature.parameters[:1]


def test_commas_in_defaults_and_quotes_and_several_results() -> None:
    signature = parse('f(Tensor self, int[2] size=[1, 2], str mode="a, b") -> (Tensor values, Tensor indices)')
    assert [each.default for each in signature.parameters] == [None, "[1, 2]", '"a, b"']
    assert signature.returns == ("Tensor", "Tensor")


@pytest.mark.parametrize("text", ["", "f(Tensor self)", "f Tensor self -> Tensor", "f(Tensor) -> Tensor"])
def test_what_is_no_schema_is_quoted_in_the_error(text: str) -> None:
    with pytest.raises(ValueError, match="schema"):
        parse(text)
