"""The REST interface of TensorFlow Serving, with Python's standard library."""

import base64
import contextlib
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping

import numpy as np

from extmap_tf.errors import ServingError
from extmap_tf.serving.channel import ModelAddress, UnavailableError, VersionStatus

_UNAVAILABLE = (429, 502, 503)


class RestChannel:
    """Requests in the columnar format, which all signatures can be asked in.

    Parameters
    ----------
    address : extmap_tf.serving.channel.ModelAddress
    """

    def __init__(self, address: ModelAddress) -> None:
        self._address = address
        scheme = "https" if address.secure else "http"
        self._url = f"{scheme}://{address.host}/v1/models/{address.model}"
        if address.version is not None:
            self._url += f"/versions/{address.version}"

    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], timeout_s: float
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature.

        Parameters
        ----------
        signature : str
        inputs : dict of str to ndarray
        timeout_s : float

        Returns
        -------
        dict of str to ndarray
            Real numbers as float32.
        """
        columns = {name: _to_json(np.asarray(value)) for name, value in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
        with self._found_in(":predict", timeout_s, body) as found:
            outputs = found["outputs"]
            if not isinstance(outputs, dict):
                (name,) = self.signatures(timeout_s)[signature][1]  # That of a single output is left out.
                outputs = {name: outputs}
            return {name: _from_json(value) for name, value in outputs.items()}

    def status(self, timeout_s: float) -> list[VersionStatus]:
        """State of the model's versions, a list of `VersionStatus`."""
        with self._found_in("", timeout_s) as found:
            return [
                VersionStatus(
                    int(item["version"]), item["state"], item.get("status", {}).get("error_message", "")
                )
                for item in found["model_version_status"]
            ]

    def signatures(self, timeout_s: float) -> dict[str, tuple[set[str], set[str]]]:
        """Names of inputs and outputs: dict of str to (set, set)."""
        with self._found_in("/metadata", timeout_s) as found:
            return {
                name: (set(item.get("inputs", {})), set(item.get("outputs", {})))
                for name, item in found["metadata"]["signature_def"]["signature_def"].items()
                if not name.startswith("__")
            }

    def close(self) -> None:
        """Nothing is held open between requests."""

    @contextlib.contextmanager
    def _found_in(self, path, timeout_s, body=None):
        """The JSON at a path; what is not in it as it should be is an error of the server."""
        text = self._get(path, timeout_s, body)
        try:
            yield json.loads(text)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise ServingError(
                f"{self._address}: the response is not TensorFlow Serving's JSON: {text[:80]!r}"
            ) from None

    def _get(self, path, timeout_s, body=None):
        request = urllib.request.Request(
            self._url + path, data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            message = _error_of(error.read()) or error.reason
            if error.code in _UNAVAILABLE:
                raise UnavailableError(f"{self._address}: not ready: {message}") from None
            raise ServingError(f"{self._address}: refused ({error.code}): {message}") from None
        except TimeoutError:
            raise ServingError(f"{self._address}: no response within {timeout_s:g} s") from None
        except (urllib.error.URLError, ConnectionError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise ServingError(f"{self._address}: no response within {timeout_s:g} s") from None
            if isinstance(reason, ssl.SSLError):
                raise ServingError(f"{self._address}: no secure connection: {reason}") from None
            raise UnavailableError(f"{self._address}: cannot be reached: {reason}") from None


def _error_of(text):
    try:
        return " ".join(str(json.loads(text)["error"]).split())
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _to_json(value):
    if value.dtype.kind in "OS":
        return [{"b64": base64.b64encode(item).decode()} for item in value.tolist()]
    return value.tolist()


def _from_json(value):
    array = np.array(value)
    return array.astype(np.float32) if array.dtype.kind == "f" else array
