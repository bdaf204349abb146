-- Ends of transactions that there are not.

COMMIT

ROLLBACK

END

ABORT

COMMIT AND CHAIN

ROLLBACK AND CHAIN
