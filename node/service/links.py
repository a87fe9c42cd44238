"""What may go out to each member: shared by live copies, which never wait, and the mover."""

from node.protocol.throttle import LinkBudget


class Links:
    """One budget for each member.

    Args:
        bytes_per_s_max: of each link; 0 is without a limit.
    """

    def __init__(self, bytes_per_s_max: int) -> None:
        self._bytes_per_s_max = bytes_per_s_max
        self._budgets: dict[str, LinkBudget] = {}

    def budget(self, member: str) -> LinkBudget:
        """The budget of the link to a member."""
        budget = self._budgets.get(member)
        if budget is None:
            budget = self._budgets[member] = LinkBudget(self._bytes_per_s_max)
        return budget
