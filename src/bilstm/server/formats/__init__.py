"""What requests and answers of a model look like: their JSON, its schema, its check.

Knows estimators and JSON; knows nothing of HTTP, queues or threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bilstm.errors import BilstmError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.server.errors import RequestError, invalid
from bilstm.server.formats.inputs import InputFormat, Usage, check_steps, input_format
from bilstm.server.formats.outputs import OutputFormat, output_format
from bilstm.server.formats.values import kind_of
from bilstm.server.settings import Settings


@dataclass(frozen=True)
class Format:
    inputs: InputFormat
    outputs: OutputFormat
    settings: Settings

    def check(self, rows: Any) -> list[Any]:
        if not isinstance(rows, list):
            raise invalid(f"expected a list of rows, got {kind_of(rows)}", "rows", 'send {"rows": […]}')
        if not rows:
            raise invalid("expected at least one row, got none", "rows")
        if len(rows) > self.settings.rows:
            hint = "send them in several requests"
            raise invalid(f"expected at most {self.settings.rows} rows a request, got {len(rows)}", "rows", hint)
        self._check_total(sum(map(self.inputs.count, rows)))
        return [self.inputs.check(row, f"rows[{n}]") for n, row in enumerate(rows)]

    def prepare(self, rows: Sequence[Any]) -> list[Any]:
        """Checked rows of one request, ready for a batch."""
        prepared, usage = [], Usage()
        for n, row in enumerate(rows):
            where = f"rows[{n}]"
            try:
                ready = self.inputs.prepare(row, where, usage)
            except RequestError:
                raise
            except BilstmError as error:
                raise invalid(error.message, where, error.hint) from None
            size = self.inputs.size(ready)
            usage.steps += size
            check_steps(size, self.settings.steps, where)
            self._check_total(usage.steps)
            prepared.append(ready)
        return prepared

    def predict(self, prepared: Sequence[Any]) -> list[dict[str, Any]]:
        return self.outputs.predict(self.inputs.gather(prepared))

    def _check_total(self, count: int) -> None:
        most = self.settings.total_steps
        if count > most:
            hint = "send the rows in several requests"
            raise invalid(f"expected at most {most} steps or words a request, got {count}", "rows", hint)


def format_of(estimator: BiLSTMEstimator, settings: Settings) -> Format:
    return Format(input_format(estimator, settings), output_format(estimator), settings)
