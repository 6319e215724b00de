module hythe

go 1.26
