"""The prompts of vars, and their answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecall.model.generators import Question, prompts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rolecall.model.recipes import Recipe
    from rolecall.model.vars import Values
    from rolecall.project import Project


class Answers:
    """The answers to the prompts of a run's vars; each prompt is shown once.

    Args:
        project: The project.
        recipes: Vars whose prompts are all shown now.

    Raises:
        Faults: When a prompt stays without an answer.
    """

    def __init__(self, project: Project, recipes: Iterable[Recipe] = ()) -> None:
        self._project = project
        self._answers: dict[Question, bytes] = {}
        self._ask([question for recipe in recipes for question in _questions(recipe)])

    def of(self, recipe: Recipe) -> Values:
        """Return the answers for a var by prompt, after showing the prompts that have none yet.

        Raises:
            Faults: As above.
        """
        questions = _questions(recipe)
        if any(question not in self._answers for question in questions):
            self._ask(questions)
        return {question.prompt.name: self._answers[question] for question in questions}

    def _ask(self, questions: list[Question]) -> None:
        answers: Mapping[Question, bytes] = self._project.asker(questions) if questions else {}
        self._answers |= answers


def _questions(recipe: Recipe) -> list[Question]:
    return [Question(recipe.key, prompt, recipe.origin) for prompt in prompts_of(recipe.generator)]
