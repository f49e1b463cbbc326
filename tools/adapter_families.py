"""The floor contract for adapters: a family of one port's adapters knows no other family."""

from collections.abc import Iterator

import grimp
from importlinter import Contract, ContractCheck, fields, output


class AdapterFamiliesContract(Contract):
    """Modules may import each other only within a family.

    A family is the modules of `package` whose names begin with the same word, `vectors_ivf` and
    `vectors_exact` for one. `joined` lists words that make one family together, such as
    `encoder bundle`. Only direct imports are looked at: the floors see to the rest.
    """

    package = fields.StringField()
    joined = fields.ListField(subfield=fields.StringField(), required=False)

    def check(self, graph: grimp.ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002
        """Return every import that crosses from one family to another."""
        crossings = sorted(self._find_crossings(graph))
        return ContractCheck(kept=not crossings, metadata={"crossings": crossings})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the imports that cross."""
        for importer, imported in check.metadata["crossings"]:
            output.print_error(f"{importer} is not allowed to import {imported}: another family")

    def _find_crossings(self, graph: grimp.ImportGraph) -> Iterator[tuple[str, str]]:
        package = str(self.package)
        modules = graph.find_descendants(package)
        for importer in modules:
            for imported in graph.find_modules_directly_imported_by(importer) & modules:
                if self._family_of(importer) != self._family_of(imported):
                    yield importer, imported

    def _family_of(self, module: str) -> str:
        name = module.removeprefix(f"{self.package}.").split(".")[0]
        word = name.split("_")[0]
        families = [str(family).split() for family in self.joined or ()]  # type: ignore[union-attr]
        return next((family[0] for family in families if word in family), word)
