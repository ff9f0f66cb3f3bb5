"""Addresses of stores: no message shows a password."""

from __future__ import annotations

import pytest

from hepanom import address
from hepanom.errors import HepanomError


@pytest.mark.parametrize("user", ["me:secret", "me@home:se@cret"])
def test_a_password_that_mlflow_repeats_is_not_shown(user: str) -> None:
    uri = f"http://{user}@there:1"
    with pytest.raises(HepanomError) as error, address.told(uri):
        raise OSError(f"API request to {uri}/api/2.0/mlflow/runs failed")
    assert str(error.value).count("http://***@there:1") == 2
