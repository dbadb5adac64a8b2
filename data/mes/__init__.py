"""The MES's database: approved orders as tasks on a board, each for the operator who claims it first."""
