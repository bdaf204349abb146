-- Every way to begin and end a transaction has its own command tag.

BEGIN TRANSACTION

COMMIT WORK

START TRANSACTION

END

BEGIN WORK

ABORT

START TRANSACTION

ROLLBACK TRANSACTION

begin

end transaction
