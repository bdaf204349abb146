"""Runs the tests below a folder and says what became of each: a line of JSON per test.

`suite.py FOLDER [WORD...]`; with words only the tests whose names contain one of them.
"""
import json, os, signal, sys, traceback, unittest

SECONDS_MAX = 60  # Of a test: the longest takes five. One that hangs fails, and the others go on.

class Stuck(Exception):
    pass

def stuck(_signal, _frame):
    raise Stuck(f"not done within {SECONDS_MAX} seconds")

def name(test):
    return test.id().removeprefix("tests.")

class Lines(unittest.TestResult):
    def __init__(self, out):
        super().__init__()
        self.out = out
        self.outcome = None

    def startTest(self, test):
        super().startTest(test)
        self.outcome = ("passed", "")
        signal.alarm(SECONDS_MAX)

    def stopTest(self, test):
        signal.alarm(0)
        super().stopTest(test)
        self.say(test, *self.outcome)
        self.outcome = None

    def say(self, test, outcome, text):
        print(json.dumps({"test": name(test), "outcome": outcome, "text": text}), file=self.out, flush=True)

    def note(self, test, outcome, text):
        if self.outcome is None:
            self.say(test, outcome, text)  # What prepares a class has no start.
        elif self.outcome[0] != "failed":
            self.outcome = (outcome, text)

    def failed(self, test, error):
        self.note(test, "failed", "".join(traceback.format_exception(*error)))

    def addError(self, test, error):
        self.failed(test, error)

    def addFailure(self, test, error):
        self.failed(test, error)

    def addSubTest(self, test, _subtest, error):
        if error:
            self.failed(test, error)

    def addSkip(self, test, reason):
        self.note(test, "skipped", reason)

    def addUnexpectedSuccess(self, test):
        self.note(test, "failed", "it was expected to fail")

def all_in(suite):
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from all_in(each)
        else:
            yield each

def main():
    folder, *words = sys.argv[1:]
    # What tests print goes where diagnostics go.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    signal.signal(signal.SIGALRM, stuck)
    loader = unittest.TestLoader()
    found = loader.discover(folder, "test_*.py", os.path.dirname(os.path.abspath(folder)))
    if loader.errors:  # Tests that cannot even be read are none that fail.
        sys.exit("\n".join(loader.errors))
    chosen = [test for test in all_in(found) if not words or any(word in name(test) for word in words)]
    unittest.TestSuite(chosen).run(Lines(out))

main()
