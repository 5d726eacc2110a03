"""From what cycles report to what people are told: drift records, patience with what fails, one incident per cause."""
