"""How many inputs Hypothesis generates: the same ones on every run, or fresh and more of them with ``--thorough``."""

from hypothesis import HealthCheck, Phase, settings

_DEFAULT = 50  # examples for each test in the default profile

_common = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("twice", _common, max_examples=_DEFAULT, derandomize=True)
settings.register_profile("thorough", _common, max_examples=20 * _DEFAULT, derandomize=False, print_blob=True)
# For faults put in on purpose: no search for the smallest example; and few examples where nearly any would do.
settings.register_profile("no-shrink", settings.get_profile("twice"), phases=[Phase.explicit, Phase.generate])
settings.register_profile("glance", _common, max_examples=5, derandomize=True, phases=[Phase.explicit, Phase.generate])


def examples(n: int) -> settings:
    """A decorator: `n` examples by default, and as many times more as the active profile asks for.

    For tests whose one example is dear (a training run) or cheap (a handful of numbers).
    """
    active = settings.get_profile(settings.get_current_profile_name()).max_examples
    return settings(max_examples=max(1, n * active // _DEFAULT))
